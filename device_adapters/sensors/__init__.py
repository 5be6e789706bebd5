"""PURE: sensors that are not Cisco's, as they speak over MQTT."""
