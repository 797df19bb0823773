"""modules/training"""
