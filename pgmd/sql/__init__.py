"""What can be known of an SQL text without running it."""

from .params import Placeholders, convert
from .statement import Fact, Statement, analyse, parenthesised

__all__ = ["Fact", "Placeholders", "Statement", "analyse", "convert", "parenthesised"]
