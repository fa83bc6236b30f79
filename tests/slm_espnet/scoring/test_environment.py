"""What a results page says about where it was made."""

import subprocess

from slm_espnet.scoring.environment import git_commit


def test_commit_is_that_of_the_files_and_not_of_a_tree_around_them(tmp_path):
    """A package in an environment inside of some project had that project's commit in its results."""

    def git(*arguments):
        identity = ["-c", "user.name=x", "-c", "user.email=x@y"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    git("init", "-q")
    (tmp_path / "own").mkdir()
    (tmp_path / "own/code.py").write_text("1")
    (tmp_path / ".gitignore").write_text("env\n")
    git("add", ".")
    git("commit", "-qm", "x")
    package = tmp_path / "env/site-packages/slm_espnet"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    assert git_commit(tmp_path / "own") == git("rev-parse", "HEAD")
    (tmp_path / "own/code.py").write_text("2")
    assert git_commit(tmp_path / "own").endswith(" with local changes")
    assert git_commit(package) == "unknown"
