"""A local stand-in for the service: responds to the one call as the real one was seen to.

    with Sandbox() as sandbox:
        client = skypostal.Client(base_url=sandbox.url, user_code=USER_CODE, app_key=APP_KEY)
        ...
        assert sandbox.customers[BOX_ID]["customer_first_name"] == "New Name"

Faults are scripted: `fail_next`, `refuse_next`, `answer_next`, `drop_connection`, `delay`. Under
pytest the fixture `skypostal_sandbox` is one, running.

It is not the service. Where neither the documentation nor an observation says what the service
does, `ASSUMPTIONS` lists what the sandbox does. It knows nothing of the client.
"""

from ._customers import APP_KEY, BOX_ID, CUSTOMER_KEY, USER_CODE, Customers
from ._sandbox import Sandbox
from ._server import PATH, Request
from ._service import ASSUMPTIONS

__all__ = [
    "APP_KEY",
    "ASSUMPTIONS",
    "BOX_ID",
    "CUSTOMER_KEY",
    "PATH",
    "USER_CODE",
    "Customers",
    "Request",
    "Sandbox",
]
