"""The must: an application joins with two classes exposed. No table is altered, its migrations agree, rules hold."""

from __future__ import annotations

from typing import Any

import alembic.command
from alembic.script import ScriptDirectory
from starlette.testclient import TestClient

from backstay import App
from tests.joining.conftest import Database

ORIGIN = {"origin": "http://localhost"}


def log_in(client: TestClient, name: str, password: str) -> None:
    """Sign in with the application's own form; its cookie is the client's from then on."""
    client.cookies.clear()
    assert client.post("/login", data={"email": f"{name}@example.com", "password": password}).status_code == 200


def send(client: TestClient, method: str, path: str, json: Any = None, **headers: str) -> Any:
    """A request as a page of this site makes it."""
    return client.request(method, path, json=json, headers={**ORIGIN, **headers})


def test_it_joins(backend: App, database: Database, capsys: Any) -> None:
    before, revision = database.dump(), database.run("SELECT version_num FROM alembic_version")
    assert "posts" in before
    with TestClient(backend, base_url="http://localhost") as client:
        log_in(client, "ada", "engine")
        made = send(client, "POST", "/api/posts", {"title": "On engines", "status": "draft", "rating": "4.50"})
        assert made.status_code == 201, made.text
        post = made.json()
        assert {**post, "created_at": ""} == {
            "id": 1, "title": "On engines", "body": "", "status": "draft", "rating": "4.50", "author": 1,
            "created_at": "", "changed_at": None,
        }  # fmt: skip
        assert made.headers["location"] == "/api/posts/1"
        assert client.get("/posts").json() == []
        published = send(client, "PATCH", "/api/posts/1", {"status": "published"}, **{"if-match": made.headers["etag"]})
        assert (published.status_code, published.json()["status"]) == (200, "published")
        assert published.json()["changed_at"] is not None
        stale = send(client, "PATCH", "/api/posts/1", {"title": "x"}, **{"if-match": made.headers["etag"]})
        assert (stale.status_code, stale.json()["code"]) == (412, "stale")
        assert client.get("/posts").json() == [{"id": 1, "title": "On engines"}]
    # What SQLAlchemy writes is seen here at once, and the other way round: one database, one file.
    with TestClient(backend, base_url="http://localhost") as client:
        log_in(client, "bob", "bridge")
        assert client.post("/posts", data={"title": "On bridges"}).status_code == 201
        listed = client.get("/api/posts?sort=-id&fields=id,title,author").json()["data"]
        assert listed == [{"id": 2, "title": "On bridges", "author": 2}, {"id": 1, "title": "On engines", "author": 1}]

    assert database.dump() == before
    assert database.run("SELECT version_num FROM alembic_version") == revision
    assert ScriptDirectory.from_config(database.migrations).get_current_head() == revision[0][0] == "0002"
    if database.kind == "sqlite":  # the database of the application has other tables now, and its check names those
        return
    capsys.readouterr()


def test_its_migrations_find_nothing_to_do(backend: App, database: Database) -> None:
    with TestClient(backend, base_url="http://localhost"):
        pass
    alembic.command.check(database.migrations)


def test_rules_hold_for_two_people_and_for_nobody(backend: App) -> None:
    with TestClient(backend, base_url="http://localhost") as client:
        log_in(client, "ada", "engine")
        draft = send(client, "POST", "/api/posts", {"title": "Mine"}).json()["id"]
        public = send(client, "POST", "/api/posts", {"title": "Ours", "status": "published"}).json()["id"]
        # Somebody else
        log_in(client, "bob", "bridge")
        assert [post["id"] for post in client.get("/api/posts").json()["data"]] == [public]
        assert client.get(f"/api/posts/{draft}").status_code == 404
        assert send(client, "PATCH", f"/api/posts/{draft}", {"title": "x"}).status_code == 404
        assert send(client, "DELETE", f"/api/posts/{draft}").status_code == 404
        assert send(client, "PATCH", f"/api/posts/{public}", {"title": "x"}).status_code == 403
        assert send(client, "DELETE", f"/api/posts/{public}").status_code == 403
        theirs = send(client, "POST", "/api/posts", {"title": "x", "author": 1})
        assert (theirs.status_code, theirs.json()["errors"][0]["code"]) == (422, "read_only")
        hidden = send(client, "POST", "/api/comments", {"post": draft, "text": "I see you"})
        assert (hidden.status_code, hidden.json()["errors"]) == (
            422, [{"path": "post", "code": "not_found", "message": "names no record that you can see."}],
        )  # fmt: skip
        said = send(client, "POST", "/api/comments", {"post": public, "text": "Well said"})
        assert said.status_code == 201, said.text
        assert client.get("/api/comments?post.title=Mine").json()["data"] == []
        expanded = client.get(f"/api/posts/{public}?expand=comments&fields=id,comments").json()
        assert [(one["text"], one["author"]) for one in expanded["comments"]] == [("Well said", 2)]
        # Nobody
        client.cookies.clear()
        assert [post["id"] for post in client.get("/api/posts").json()["data"]] == [public]
        assert client.get(f"/api/posts/{draft}").status_code == 404
        assert send(client, "POST", "/api/posts", {"title": "x"}).json()["code"] == "not_signed_in"
        assert send(client, "DELETE", f"/api/posts/{public}").status_code in (401, 403)
        # Classes that are not exposed are nowhere, the users' class among them.
        for address in ("/api/members", "/api/visits", "/api/tags", "/api/auth/login", "/api/auth/me"):
            assert client.get(address).json() == {"detail": "Not Found"}, address
        assert client.get("/api/posts?author.password_hash[starts_with]=a").status_code in (400, 401)
        assert client.get("/api/posts?expand=author").status_code in (400, 401, 403)


def test_what_the_database_numbers_is_made_with_what_refers_to_it(backend: App, database: Database) -> None:
    """Comments inside a post, and a post inside a comment: the number of the one is known once it is written."""
    with TestClient(backend, base_url="http://localhost") as client:
        log_in(client, "ada", "engine")
        whole = {"title": "On engines", "comments": [{"text": "First"}, {"text": "Second"}]}
        shown = "fields=id,title&expand=comments"
        made = send(client, "POST", f"/api/posts?{shown}", whole)
        assert made.status_code == 201, made.text
        comments = [(one["text"], one["post"], one["author"]) for one in made.json()["comments"]]
        assert (made.json()["id"], comments) == (1, [("First", 1, 1), ("Second", 1, 1)])
        around = {"text": "Third", "post": {"title": "On bridges"}}
        made = send(client, "POST", "/api/comments?fields=id,post", around)
        assert (made.status_code, made.json()) == (201, {"id": 3, "post": 2})
        wrong = {"title": "x", "comments": [{"text": "y"}, {"post": 1}]}
        told = [(one["path"], one["code"]) for one in send(client, "POST", "/api/posts", wrong).json()["errors"]]
        assert told == [("comments.1.text", "required"), ("comments.1.post", "read_only")]
    assert [tuple(map(str, row)) for row in database.run("SELECT count(*), max(id) FROM posts")] == [("2", "2")]


def test_cookies_of_its_log_in_are_believed_from_its_own_pages_alone(backend: App) -> None:
    with TestClient(backend, base_url="http://localhost") as client:
        log_in(client, "ada", "engine")
        for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {}):
            answer = client.post("/api/posts", json={"title": "x"}, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "cross_site"), headers
        assert client.get("/api/posts", headers={"origin": "https://evil.example"}).status_code == 200
