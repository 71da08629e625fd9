# loadlens in a container: docker run --rm -v "$PWD:/data" loadlens analyze run.jtl --out report
FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY src src
# The image has no C compiler: the library is built with the one that pip can install.
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.13-slim
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir /wheels/*.whl && rm -r /wheels \
    && useradd --create-home loadlens
USER loadlens
WORKDIR /data
ENTRYPOINT ["loadlens"]
CMD ["--help"]
