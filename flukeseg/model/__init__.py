"""The network, its losses and metrics, and the LightningModule around them."""
