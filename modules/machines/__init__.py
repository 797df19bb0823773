"""What a training runs on: the devices of one machine, and the workers of several.

DeviceOptions (asked for), TF_CONFIG (who else trains) -> devices.choose -> Devices
"""
