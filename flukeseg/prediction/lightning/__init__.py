"""Prediction with torch: by Lightning's trainer, on its devices, from loading processes."""
