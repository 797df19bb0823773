"""signs"""
