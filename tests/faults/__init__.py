"""Fault tests: whole campaigns with real workers and a real mongod, disturbed at named and at random moments."""
