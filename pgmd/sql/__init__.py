"""What can be known of an SQL text without running it."""

from .facts import Fact
from .params import convert
from .statement import Statement, analyse, parenthesised

__all__ = ["Fact", "Statement", "analyse", "convert", "parenthesised"]
