"""signs/transports"""
