"""modules/network"""
