"""The daemon: hears the devices of a site, decides, writes down, and tells the cloud."""
