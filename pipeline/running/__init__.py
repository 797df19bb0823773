"""pipeline/running"""
