"""Tiny models with random weights of every sort of decoder, and what is expected of each."""

from .catalogue import ARCHITECTURES, CATALOGUE, build
from .models import VOCABULARY, Architecture

__all__ = ["ARCHITECTURES", "CATALOGUE", "VOCABULARY", "Architecture", "build"]
