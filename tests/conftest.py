"""Fixtures for every room; that this file is here also lets tests import `clips`."""
