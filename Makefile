check:
	bash .ci/run

.PHONY: check
