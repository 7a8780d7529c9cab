"""Tests of the fault benchmark."""
