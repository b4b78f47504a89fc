"""The kinds of run that the pipelines of docs/examples/ci have: what the CI system puts into the environment and into its
token, and the group that the README's rules let the run into (None: it is not let in at all)."""

COMMIT = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567"
PROJECT = "11111111-1111-1111-1111-111111111111"
JENKINS = "https://jenkins.example.com/job/team/job/"


def github(ref, event="push", repository="7654321", **more):
    return dict({"GITHUB_ACTIONS": "true", "GITHUB_REF": ref, "GITHUB_SHA": COMMIT, "GITHUB_RUN_NUMBER": "9"}), dict(
        {"sub": f"repo:example/app:ref:{ref}", "ref": ref, "event_name": event, "repository_id": repository,
         "repository": "example/app", "ref_type": "tag" if ref.startswith("refs/tags/") else "branch"}, **more)


def gitlab(ref, kind="branch", protected=True, source="push", project="42"):
    variable = {"branch": "CI_COMMIT_BRANCH", "tag": "CI_COMMIT_TAG", "merge request": "CI_MERGE_REQUEST_IID"}[kind]
    of_type = "tag" if kind == "tag" else "branch"
    return {"GITLAB_CI": "true", variable: "5" if kind == "merge request" else ref, "CI_COMMIT_SHA": COMMIT, "CI_PIPELINE_IID": "3"}, {
        "sub": f"project_path:team/app:ref_type:{of_type}:ref:{ref}", "project_id": project, "project_path": "team/app", "ref": ref,
        "ref_type": of_type, "ref_protected": "true" if protected else "false",
        "pipeline_source": "merge_request_event" if kind == "merge request" else source}


def jenkins(job, **environment):
    return dict({"JENKINS_URL": "https://jenkins.example.com/", "GIT_COMMIT": COMMIT, "BUILD_NUMBER": "6"}, **environment), {
        "sub": f"{JENKINS}{job}/", "build_number": "6"}


def azure(ref, pipeline="12"):
    return {"TF_BUILD": "True", "BUILD_SOURCEBRANCH": ref, "BUILD_SOURCEVERSION": COMMIT, "BUILD_BUILDID": "77"}, {
        "sub": "p://example/app/image", "prj_id": PROJECT, "def_id": pipeline, "rpo_ref": ref}


# the system, the run, (environment, claims), the group
RUNS = [
    ("github", "a git tag", github("refs/tags/v1.2.3"), "team-releases"),
    ("github", "a candidate's tag", github("refs/tags/v2.0.0-rc.1"), "team-releases"),
    ("github", "main", github("refs/heads/main"), "team-main"),
    ("github", "a release branch", github("refs/heads/release/1.x"), "team-main"),
    ("github", "a pull request", github("refs/pull/17/merge", "pull_request"), "team-pulls"),
    ("github", "pull_request_target", github("refs/heads/main", "pull_request_target"), None),
    ("github", "another branch", github("refs/heads/feature/login"), None),
    ("github", "a fork's own main", github("refs/heads/main", repository="999"), None),
    ("github", "a fork's own tag", github("refs/tags/v1.2.3", repository="999"), None),
    ("gitlab", "a git tag", gitlab("v1.2.3", "tag"), "team-releases"),
    ("gitlab", "main", gitlab("main"), "team-main"),
    ("gitlab", "main, by schedule", gitlab("main", source="schedule"), "team-main"),
    ("gitlab", "a release branch", gitlab("release/1.x"), "team-main"),
    ("gitlab", "another protected branch", gitlab("develop"), "team-main"),
    ("gitlab", "another branch", gitlab("feature/login", protected=False), "team-branches"),
    ("gitlab", "a merge request", gitlab("feature/login", "merge request", protected=False), "team-pulls"),
    ("gitlab", "a merge request from main to a branch", gitlab("main", "merge request"), "team-pulls"),
    ("gitlab", "a tag that is not protected", gitlab("v9.9.9", "tag", protected=False), None),
    ("gitlab", "a fork's merge request", gitlab("main", "merge request", protected=False, project="77"), None),
    ("gitlab", "a fork's own main", gitlab("main", project="77"), None),
    ("jenkins", "a git tag", jenkins("app-releases/job/v1.2.3", TAG_NAME="v1.2.3", BRANCH_NAME="v1.2.3"), "team-releases"),
    ("jenkins", "main", jenkins("app/job/main", BRANCH_NAME="main"), "team-main"),
    ("jenkins", "a release branch", jenkins("app/job/release%252F1.x", BRANCH_NAME="release/1.x"), "team-main"),
    ("jenkins", "a pull request", jenkins("app/job/PR-2", BRANCH_NAME="PR-2", CHANGE_ID="2"), "team-pulls"),
    ("jenkins", "a branch like a release", jenkins("app/job/v1.2.3", BRANCH_NAME="v1.2.3"), None),
    ("jenkins", "another branch", jenkins("app/job/feature%252Flogin", BRANCH_NAME="feature/login"), None),
    ("azure", "a git tag", azure("refs/tags/v1.2.3"), "team-releases"),
    ("azure", "main", azure("refs/heads/main"), "team-main"),
    ("azure", "a release branch", azure("refs/heads/release/1.x"), "team-main"),
    ("azure", "a pull request", azure("refs/pull/4/merge"), "team-pulls"),
    ("azure", "another branch", azure("refs/heads/feature/login"), None),
    ("azure", "another pipeline's main", azure("refs/heads/main", pipeline="13"), None),
]
