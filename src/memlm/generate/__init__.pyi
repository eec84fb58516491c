"""What is named here is loaded when it is asked for; `__init__.py` says what it is for."""

from .chat import Conversation, WrittenAnswer
from .chat_commands import COMMANDS, Command, is_command, parse_command, unescape
from .config import GenerateConfig
from .engine import generate_texts
from .evaluate import evaluate_labels
from .pattern import DEFAULT_PATTERN, Pattern, parse_pattern
from .shots import Shot, parse_shots, write_few_shot

__all__ = [
    "COMMANDS",
    "DEFAULT_PATTERN",
    "Command",
    "Conversation",
    "GenerateConfig",
    "Pattern",
    "Shot",
    "WrittenAnswer",
    "evaluate_labels",
    "generate_texts",
    "is_command",
    "parse_command",
    "parse_pattern",
    "parse_shots",
    "unescape",
    "write_few_shot",
]
