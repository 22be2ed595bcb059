"""Burble's back end: a thin HTTP side and, in `engine/`, what lives in the dirty worker."""
