"""From photos to products: inputs, loader, prediction of one photo, writer, folder, table."""
