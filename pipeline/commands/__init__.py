"""pipeline/commands"""
