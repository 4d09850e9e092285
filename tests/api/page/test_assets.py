"""What the server sends for the page, seen without a browser."""

import re

import httpx
import pytest

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


def test_browsers_get_the_page_and_programs_json(client: httpx.Client) -> None:
    """One address, two readers; caches between are told what it depends on."""
    page = client.get("/", headers=BROWSER)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text.startswith("<!DOCTYPE html>")
    assert page.headers["vary"] == "accept"
    assert client.get("/").json()["name"] == "intbert"


def test_policy_is_strict(client: httpx.Client) -> None:
    """Page and assets forbid everything by default, inline code, eval and other sites in particular."""
    for path in ("/", "/assets/main.js", "/assets/icon.svg"):
        headers = client.get(path, headers=BROWSER).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none';")
        assert "unsafe" not in policy
        assert set(re.findall(r"(?:https?:|//|\*)", policy)) == set()
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_every_asset_that_is_named_exists(client: httpx.Client) -> None:
    """The page's links and the modules' imports lead to files, with the types that a browser insists on."""
    index = client.get("/", headers=BROWSER).text
    found = set(re.findall(r'(?:href|src)="(assets/[^"]+)"', index))
    assert {"assets/main.js", "assets/page.css", "assets/icon.svg"} <= found
    waiting = [path for path in found if path.endswith(".js")]
    while waiting:
        response = client.get("/" + waiting.pop())
        assert response.headers["content-type"] == "text/javascript; charset=utf-8"
        imported = {f"assets/{name}" for name in re.findall(r'from "\./([^"]+)"', response.text)}
        waiting += sorted(imported - found)
        found |= imported
    assert all(client.get("/" + path).status_code == 200 for path in found)
    assert len(found) > 10


def test_an_asset_is_sent_once(client: httpx.Client) -> None:
    """Browsers ask again each time and get 304, until the file is another one."""
    first = client.get("/assets/page.css")
    assert first.headers["cache-control"] == "no-cache"
    again = client.get("/assets/page.css", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/assets/page.css", headers={"if-none-match": '"another"'}).content == first.content


@pytest.mark.parametrize("name", ["nothing.js", "..%2fpage.py", "%2e%2e%2fpage.py", "", "__init__.py"])
def test_only_assets_are_sent(client: httpx.Client, name: str) -> None:
    """No name leads to another file of the package."""
    response = client.get(f"/assets/{name}")
    assert response.status_code == 404
    assert response.json()["code"] == "route_not_found"
