"""Step 2: what can move. Assets and loads with their limits, what they give in the hours that set the bill, what
their idle hours may earn, what answers a recurring spike, and what must still be asked."""

from __future__ import annotations

from .catalogue import Catalogue, Line, flexibility, of_meter
from .questionnaire import Answers, read_questionnaire, write_questionnaire
from .remedies import Remedy, RemedyOptions, remedies

__all__ = [
    "Answers",
    "Catalogue",
    "Line",
    "Remedy",
    "RemedyOptions",
    "flexibility",
    "of_meter",
    "read_questionnaire",
    "remedies",
    "write_questionnaire",
]
