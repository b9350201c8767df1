"""The table of plugins that somebody switched off."""

from sqlalchemy.orm import Mapped, mapped_column

from pilothouse.db import Millis, Model, Name


class PluginSwitch(Model):
    """A plugin that is off; plugins without a row are on."""

    __tablename__ = "plugin_switches"

    name: Mapped[str] = mapped_column(Name, primary_key=True)
    switched_off_at: Mapped[int] = mapped_column(Millis)
    switched_off_by: Mapped[str] = mapped_column(Name)
