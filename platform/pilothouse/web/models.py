"""The table of saved views: a page's filters under a name."""

from sqlalchemy import Boolean, ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from pilothouse.db import Id, Millis, Model, Name


class SavedView(Model):
    """A page's query string under a name, of one person; `shared` ones are offered to the whole team."""

    __tablename__ = "saved_views"
    __table_args__ = (Index(None, "page", "shared"), Index(None, "user_id", "page"))

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    user_id: Mapped[str] = mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"))
    page: Mapped[str] = mapped_column(Name)
    name: Mapped[str] = mapped_column(Name)
    query: Mapped[str] = mapped_column(Text)
    shared: Mapped[bool] = mapped_column(Boolean)
    created_at: Mapped[int] = mapped_column(Millis)


MODELS: tuple[type[Model], ...] = (SavedView,)
