"""Predictions handed on: tables for re-identification, annotation tools there and back."""
