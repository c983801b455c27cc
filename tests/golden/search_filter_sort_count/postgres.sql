SELECT string_agg(j, chr(30)) FILTER (WHERE n < $5::bigint), count(*), max(k0) FILTER (WHERE n = $5::bigint - 1), max(k1) FILTER (WHERE n = $5::bigint - 1), (SELECT count(*)
  FROM "products" AS t1
  WHERE (t1."state" = $6::text
    AND (t1."released_at" IS NULL
      OR $2::timestamptz >= t1."released_at")
    AND t1."kind" <> $7::text
    AND t1."_terms" @@ $8::text::tsquery))
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"name":', to_json(t0."name"), ',"price":{"amount":', t0."price", ',"currency":"EUR"}}') AS j, (t0."price")::text AS k0, (t0."id")::text AS k1
    FROM "products" AS t0
    WHERE (t0."state" = $1::text
      AND (t0."released_at" IS NULL
        OR $2::timestamptz >= t0."released_at")
      AND t0."kind" <> $3::text
      AND t0."_terms" @@ $4::text::tsquery)
    ORDER BY t0."price" DESC, t0."id" DESC
    LIMIT $5::bigint) AS page) AS numbered
