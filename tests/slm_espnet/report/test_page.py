"""The page of an experiment."""


def test_page_has_every_section(experiment):
    page = experiment.make()
    open("/tmp/pagetest.html","w").write(page)
