"""The endpoints of one's own notifications and preferences, by the contract."""

from __future__ import annotations

import pytest

FIELDS = {
    "id", "user_id", "type", "category", "title", "message", "action_url", "action_label", "read", "count", "created_at",
}  # fmt: skip


@pytest.fixture
def told(app, as_role, api, fail, drain):
    """Return a member with one unread notification, as their browser."""
    browser = as_role("member")
    fail(api, "run-1")
    drain()
    return browser


def first(browser):
    return browser.get("/api/notifications").json["data"][0]


def test_a_notification_has_the_fields_of_the_contract(told):
    notice = first(told)
    assert notice.keys() >= FIELDS
    assert (notice["type"], notice["category"], notice["read"], notice["count"]) == ("error", "workflow", False, 1)
    assert notice["action_url"] == "/executions/run-1"


def test_reading_and_unreading_change_the_count(told):
    path = f"/api/notifications/{first(told)['id']}"
    assert told.post(f"{path}/read").json["read"] is True
    assert told.get("/api/notifications/count").json == {"unread": 0}
    assert told.post(f"{path}/unread").json["read"] is False
    assert told.get("/api/notifications/count").json == {"unread": 1}


def test_all_can_be_marked_as_read_at_once(told):
    assert told.post("/api/notifications/read-all").json == {"marked": 1, "unread": 0}
    assert told.get("/api/notifications?unread=true").json["data"] == []


def test_filters_by_unread_and_category(told):
    assert len(told.get("/api/notifications?unread=true&category=workflow").json["data"]) == 1
    assert len(told.get("/api/notifications?category=executions.failed").json["data"]) == 1
    assert told.get("/api/notifications?category=billing").json["data"] == []


def test_others_notifications_do_not_exist(told, as_role):
    stranger = as_role("owner")
    key = first(told)["id"]
    assert stranger.get("/api/notifications").json["data"] == []
    assert stranger.post(f"/api/notifications/{key}/read").status_code == 404
    assert stranger.post(f"/notifications/{key}/read").status_code == 404


def test_nobody_reads_without_signing_in(client):
    for path in ("", "/count", "/preferences", "/channels", "/deliveries"):
        assert client.get(f"/api/notifications{path}").status_code == 401


def test_channels_and_deliveries_are_for_admins(as_role):
    member, admin = as_role("member"), as_role("admin")
    for path in ("channels", "deliveries"):
        assert member.get(f"/api/notifications/{path}").status_code == 403
        assert member.get(f"/notifications/{path}").status_code == 403
        assert admin.get(f"/api/notifications/{path}").status_code == 200


def test_an_unchanged_list_and_count_answer_304(told):
    for path in ("/api/notifications", "/api/notifications/count"):
        etag = told.get(path).headers["ETag"]
        assert told.get(path, headers={"If-None-Match": etag}).status_code == 304
        told.post(f"/api/notifications/{first(told)['id']}/read")
        assert told.get(path, headers={"If-None-Match": etag}).status_code == 200
        told.post(f"/api/notifications/{first(told)['id']}/unread")


def test_pages_follow_each_other_without_gap(app, as_role, api, fail, drain):
    browser = as_role("viewer")
    for number in range(5):
        fail(api, f"run-{number}", workflow=f"w{number}")
    drain()
    seen, cursor = [], ""
    while cursor is not None:
        page = browser.get(f"/api/notifications?limit=2&cursor={cursor}").json
        seen += [notice["title"] for notice in page["data"]]
        cursor = page["next_cursor"]
    assert seen == [f"w{number} failed" for number in reversed(range(5))]


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "cursor=nonsense"])
def test_wrong_bounds_are_422(told, query):
    assert told.get(f"/api/notifications?{query}").status_code == 422


def test_the_command_lines_token_reads_the_first_owners(app, api, member, fail, drain):
    owner = member("owner")
    member("owner")
    fail(api, "a")
    drain()
    assert [notice["user_id"] for notice in api.get("/api/notifications").json["data"]] == [owner]


def test_preferences_start_with_the_defaults_of_the_contract(as_role):
    found = as_role("member").get("/api/notifications/preferences").json
    on = ("workflow", "executions.failed", "errors.opened", "errors.regressed", "team.changed", "core.dead_letter")
    assert all(found["categories"][name] == {"in_app": True, "email": True} for name in on)
    assert found["categories"]["executions.succeeded"] == {"in_app": False, "email": False}
    assert (found["quiet_hours"], found["digest"]) == ({"from": None, "to": None, "tz": "UTC"}, "off")


def test_preferences_are_kept_and_what_is_left_out_stays(as_role):
    browser = as_role("member")
    quiet = {"from": "22:00", "to": "07:30", "tz": "Europe/Berlin"}
    browser.put("/api/notifications/preferences", json={"categories": {"workflow": {"email": False}}, "quiet_hours": quiet})
    found = browser.put("/api/notifications/preferences", json={"digest": "daily"}).json
    assert found["categories"]["workflow"] == {"in_app": True, "email": False}
    assert (found["quiet_hours"], found["digest"]) == (quiet, "daily")
    assert browser.put("/api/notifications/preferences", json=found).json == found


@pytest.mark.parametrize(
    "change",
    [
        {"categories": {"nothing": {"in_app": True}}}, {"categories": {"workflow": {"pigeon": True}}}, {"digest": "weekly"},
        {"quiet_hours": {"from": "25:00", "to": "07:00", "tz": "UTC"}}, {"quiet_hours": {"from": "22:00"}},
        {"quiet_hours": {"from": "22:00", "to": "07:00", "tz": "Mars/Base"}}, {"categories": {"workflow": {"in_app": "yes"}}},
    ],
)  # fmt: skip
def test_wrong_preferences_are_422(as_role, change):
    browser = as_role("member")
    before = browser.get("/api/notifications/preferences").json
    assert browser.put("/api/notifications/preferences", json=change).status_code == 422
    assert browser.get("/api/notifications/preferences").json == before


def test_a_group_that_is_off_takes_its_categories_along_and_nothing_floods_later(app, as_role, api, fail, drain):
    browser = as_role("member")
    browser.put("/api/notifications/preferences", json={"categories": {"workflow": {"in_app": False, "email": False}}})
    fail(api, "a")
    drain()
    browser.put("/api/notifications/preferences", json={"categories": {"workflow": {"in_app": True, "email": True}}})
    drain()
    assert browser.get("/api/notifications/count").json == {"unread": 0}
    log = api.get("/api/notifications/deliveries?status=muted").json["data"]
    assert {line["channel_id"] for line in log} == {"in_app", "email"}
