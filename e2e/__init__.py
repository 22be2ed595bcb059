"""Tests of the whole: the real gunicorn, its dirty worker and a real browser."""
