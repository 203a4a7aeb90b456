"""`explain`: codes and fields, found by what a user would type."""

from __future__ import annotations

from gitmesh.codes import CODES
from gitmesh.parsing.schema import Field
from gitmesh.render.explain import code_text, field_text, find_code, find_fields, similar

FIELDS = {
    path: Field(path, "integer", f"about {path}", required=path.endswith("attempts"))
    for path in (
        "TrafficPolicy",
        "TrafficPolicy.spec",
        "TrafficPolicy.spec.timeout",
        "TrafficPolicy.spec.retries",
        "TrafficPolicy.spec.retries.attempts",
        "TrafficPolicy.spec.matches.path.exact",
        "AccessPolicy.spec",
        "AccessPolicy.spec.rules.headers.exact",
    )
}


def test_every_code_is_found_by_number_and_name_and_explains_itself() -> None:
    for code in CODES.values():
        assert find_code(code.code.lower()) is code
        assert find_code(code.name) is code
        assert code.cause in code_text(code)
        assert code.fix in code_text(code)


def test_a_field_is_found_by_the_end_of_its_path_in_any_case_and_with_indexes() -> None:
    assert find_fields("retries.attempts", FIELDS) == ("TrafficPolicy.spec.retries.attempts",)
    assert find_fields("TrafficPolicy.Spec.Matches[0].path.exact", FIELDS) == (
        "TrafficPolicy.spec.matches.path.exact",
    )
    assert find_fields("spec", FIELDS) == ("TrafficPolicy.spec", "AccessPolicy.spec")
    assert find_fields("tries.attempts", FIELDS) == ()


def test_a_field_is_shown_with_the_fields_below() -> None:
    text = field_text("TrafficPolicy.spec", FIELDS)
    assert "about TrafficPolicy.spec" in text
    assert (
        "fields:\n    timeout  about TrafficPolicy.spec.timeout\n    retries  about"
        " TrafficPolicy.spec.retries\n" in text
    )
    assert "required" in field_text("TrafficPolicy.spec.retries.attempts", FIELDS)


def test_something_unknown_is_answered_with_what_is_near() -> None:
    assert "TrafficPolicy.spec.retries.attempts" in similar("atempts", FIELDS)
    assert "GM203" in similar("BadVale", FIELDS)
    assert similar("TrafficPolicy.spec.timout", FIELDS) == ("TrafficPolicy.spec.timeout",)
    assert similar("TrafficPolicy.spec.retrys.atempts", FIELDS)[0] == "TrafficPolicy.spec.retries.attempts"
