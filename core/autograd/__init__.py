"""How an op is declared, recorded and differentiated."""
