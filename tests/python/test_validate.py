"""Client.validate, the matcher of names, and the table of fields."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import skypostal
from skypostal import AsyncClient, Client, ConfigurationError, ValidationError
from skypostal._fields import CHANGES, FIELDS, REQUIRED, SECRETS
from skypostal._native import _nearest, _unknown_field
from skypostal.sandbox import APP_KEY, BOX_ID, CUSTOMER_KEY, USER_CODE, Sandbox

WHO: Any = {"customer_box_id": BOX_ID, "customer_key": CUSTOMER_KEY}

# Each is bad on its own.
BAD: Any = {
    "user_code": 0,
    "app_key": " ",
    "customer_box_id": True,
    "customer_key": "",
    "customer_first_name": "a\n",
    "customer_last_name": 5,
    "customer_identity_number": "a" * 8193,
    "customer_tax_number": 1.5,
    "customer_birth_date": "1980-02-30",
    "customer_gender": "X",
}


def test_every_problem_is_returned_at_once_and_nothing_is_sent(
    client: Client, sandbox: Sandbox
) -> None:
    problems = client.validate(**BAD)
    assert all(isinstance(problem, ValidationError) for problem in problems)
    assert [problem.field for problem in problems if isinstance(problem, ValidationError)] == [*BAD]
    for problem, (name, value) in zip(problems, BAD.items()):
        with pytest.raises(ValidationError) as raised:
            client.update_personal_info(**{**WHO, name: value})
        assert raised.value == problem
    assert sandbox.requests == []


def test_the_first_problem_is_what_a_call_raises(client: Client) -> None:
    for fields in (BAD, {"customer_gender": "X"}, {}, dict(reversed(BAD.items()))):
        with pytest.raises(ValidationError) as raised:
            client.update_personal_info(**fields)
        assert raised.value == client.validate(**fields)[0]


def test_a_good_update_has_no_problem(client: Client) -> None:
    assert client.validate(**WHO) == client.validate(**WHO, customer_gender="F") == []


def test_a_missing_credential_is_a_problem_of_the_configuration() -> None:
    problems = Client().validate(customer_gender="M")
    kinds = [problem.kind for problem in problems]
    assert kinds == ["configuration"] * 2 + ["invalid_field"] * 2
    options = [problem.option for problem in problems if isinstance(problem, ConfigurationError)]
    assert options == ["user_code", "app_key"]
    assert Client().validate(**WHO, user_code=1, app_key="k") == []


def test_a_request_that_is_too_long_is_a_problem(client: Client) -> None:
    names = ["customer_first_name", "customer_last_name", "customer_identity_number"]
    (problem,) = client.validate(**{**WHO, **{name: "\u20ac" * 8192 for name in names}})
    assert isinstance(problem, ValidationError) and problem.field in names


def test_a_name_that_is_no_field_is_a_type_error_as_in_a_call(client: Client) -> None:
    fields: Any = {"customer_gender": "X", "frist_name": "Ana"}
    for function in (client.validate, client.update_personal_info):
        with pytest.raises(TypeError, match="'frist_name'. Did you mean 'customer_first_name'"):
            function(**fields)


@pytest.mark.parametrize("name", ["timeout", "frist_name"])
def test_the_error_names_the_function_which_has_no_timeout(client: Client, name: str) -> None:
    for function in (client.validate, client.preview):
        with pytest.raises(TypeError, match=rf"^{function.__name__}\(\) got an") as caught:
            function(**{name: 5})  # type: ignore[arg-type]
        assert "Did you mean 'timeout'?" not in str(caught.value)


def test_an_async_client_validates_without_an_event_loop() -> None:
    client = AsyncClient(user_code=1, app_key="k")
    (problem,) = client.validate(**{**WHO, "customer_gender": "X"})
    assert problem.message.startswith("customer_gender: ")


def test_an_exception_of_a_value_is_raised(client: Client) -> None:
    class Box:
        def __index__(self) -> int:
            raise LookupError("the caller's own")

    fields: Any = {**WHO, "customer_box_id": Box()}
    with pytest.raises(LookupError, match="the caller's own"):
        client.validate(**fields)


def test_the_nearest_name_is_the_cores() -> None:
    assert _nearest("frist_name", FIELDS) == "customer_first_name"
    assert _nearest("--resum".lstrip("-"), ["resume", "out"]) == "resume"
    assert _nearest("x\ud83d", ["resume"]) is None
    error = _unknown_field("frist_name")
    assert error.field == "frist_name" and "'customer_first_name'" in error.message
    with pytest.raises(TypeError):
        _nearest("word", [5])  # type: ignore[list-item]


def test_the_table_of_fields_is_the_cores(client: Client) -> None:
    # The core's own list, in a message.
    listed = _unknown_field("x").message.partition("the fields are ")[2]
    assert listed.split(", ") == [*FIELDS] == [field.name for field in FIELDS.values()]
    assert {*CHANGES}.isdisjoint({*REQUIRED, *SECRETS}) and {*REQUIRED, *SECRETS} < {*FIELDS}
    assert all(field.help for field in FIELDS.values())
    preview = client.preview(**{**WHO, "app_key": "k"}).body
    assert preview.count("***") == len(SECRETS)
    assert all(f'"{name}":"***"' in preview for name in SECRETS)


def test_the_table_of_fields_has_the_types_that_the_core_takes(client: Client) -> None:
    good: dict[str, list[Any]] = {
        "integer": [1],
        "text": ["text"],
        "number": ["1.50", 1],
        "day": ["1980-08-19"],
        "gender": ["M", "F"],
    }
    for name, field in FIELDS.items():
        for value in good[field.type]:
            assert client.validate(**{**WHO, name: value}) == [], (name, value)
    assert {field.type for field in FIELDS.values()} == {*good}


def test_the_stubs_name_the_fields_and_the_kinds() -> None:
    tree = ast.parse(Path(skypostal.__file__).with_name("_types.py").read_text())
    (fields,) = (
        node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Fields"
    )
    names = [node.target.id for node in fields.body if isinstance(node, ast.AnnAssign)
             and isinstance(node.target, ast.Name)]  # fmt: skip
    assert names == [*FIELDS]
    literals = {
        node.targets[0].id: ast.literal_eval(node.value.slice)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Subscript)
    }
    classes = {
        error
        for error in vars(skypostal).values()
        if isinstance(error, type) and issubclass(error, skypostal.SkyPostalError)
    }
    assert {error.kind for error in classes} == {*literals["_Kind"]}
    unattempted = {"invalid_field", "configuration"}
    assert {*literals["_AttemptError"]} == {*literals["_Kind"]} - unattempted | {"cancelled"}


def test_a_preview_is_the_request_without_keys(sandbox: Sandbox) -> None:
    options: Any = {"user_code": USER_CODE, "app_key": APP_KEY, "base_url": sandbox.url}
    fields: Any = {**WHO, "customer_first_name": "Zoë"}
    client = Client(**options)
    preview = client.preview(**fields)
    assert preview == AsyncClient(**options).preview(**fields) and not sandbox.requests
    client.update_personal_info(**fields)
    (request,) = sandbox.requests
    assert (preview.method, preview.url) == (request.method, sandbox.url + request.path)
    assert preview.headers == {name.lower(): value for name, value in request.headers.items()}
    shown = request.body.decode().replace(APP_KEY, "***").replace(CUSTOMER_KEY, "***")
    assert preview.body == shown and "Zoë" in shown
    assert repr(preview) == f"Preview(method='POST', url={preview.url!r})"
    with pytest.raises(ValidationError, match="customer_gender"):
        client.preview(**{**fields, "customer_gender": "x"})
