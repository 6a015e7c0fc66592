"""Adobe Experience Platform: export jobs, and the Catalog datasets that they fill."""
