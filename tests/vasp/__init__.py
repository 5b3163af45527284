"""The VASP path: recorded runs replayed, and a stand-in executable where a campaign needs a VASP that answers."""
