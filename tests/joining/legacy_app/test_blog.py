"""Its own tests: they were written for it alone. `blog` is a client of it; the fixture says how it is served."""

from starlette.testclient import TestClient


def test_it_greets(blog: TestClient) -> None:
    assert blog.get("/").json() == {"says": "Welcome"}


def test_somebody_logs_in_with_a_form_and_writes(blog: TestClient) -> None:
    assert blog.post("/posts", data={"title": "Nobody"}).status_code == 401
    assert blog.post("/login", data={"email": "ada@example.com", "password": "wrong"}).status_code == 403
    assert blog.post("/login", data={"email": "ada@example.com", "password": "engine"}).json() == {"hello": "Ada"}
    written = blog.post("/posts", data={"title": "On engines"})
    assert written.status_code == 201
    assert {"id": written.json()["id"], "title": "On engines"} in blog.get("/posts").json()


def test_its_errors_are_its_own(blog: TestClient) -> None:
    answer = blog.get("/broken")
    assert (answer.status_code, answer.json()) == (418, {"detail": "I am a teapot."})
    assert blog.get("/nothing/here").json() == {"detail": "Not Found"}
    assert blog.post("/login", data={"email": "x"}).status_code == 422


def test_it_talks_over_a_socket(blog: TestClient) -> None:
    with blog.websocket_connect("/echo") as socket:
        socket.send_text("hello")
        assert socket.receive_text() == "You said hello"


def test_it_documents_itself(blog: TestClient) -> None:
    assert blog.get("/blog/openapi.json").json()["info"]["title"] == "Blog"
    assert "/blog/openapi.json" in blog.get("/blog/docs").text
