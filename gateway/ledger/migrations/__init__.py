"""How the ledger's schema came to be, a step a revision."""
