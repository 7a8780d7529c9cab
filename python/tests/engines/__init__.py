"""Tests on real engines, which are in environments of their own: `npm run engines`."""
