"""The names of the plugin's permissions."""

VIEW = "notifications.own.view"
CHANGE = "notifications.own.change"
MANAGE = "notifications.channels.manage"
DELIVERIES = "notifications.deliveries.view"
