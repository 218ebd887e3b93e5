def learner(site):
    raise NotImplementedError
