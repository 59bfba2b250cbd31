"""Tips, notch and trailing edge of a fluke, and the transform that sets it straight."""
