"""modules/machines"""
