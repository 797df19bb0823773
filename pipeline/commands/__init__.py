"""The command line `signs`: main -> a file for each command or group -> what does the work.

A file here is imported to show any help, so that it imports what is heavy inside its commands.
"""
