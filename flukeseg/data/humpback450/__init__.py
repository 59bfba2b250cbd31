"""The reference's 450 humpback flukes, fetched by `python -m flukeseg.data.humpback450`."""
