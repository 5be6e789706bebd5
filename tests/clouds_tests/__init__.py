"""Other people's clients judge the stand-ins for the clouds."""
