"""The calendars themselves, in the cloud: Microsoft 365, Google Workspace and Webex."""
