"""Profiles: what is known of a person, from the events to the packed row to the arrays that a feed reads."""
