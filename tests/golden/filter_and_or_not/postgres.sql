SELECT string_agg(j, chr(30)) FILTER (WHERE n < $7::bigint), count(*), max(k0) FILTER (WHERE n = $7::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"name":', to_json(t0."name"), '}') AS j, (t0."id")::text AS k0
    FROM "products" AS t0
    WHERE (t0."state" = $1::text
      AND (t0."released_at" IS NULL
        OR $2::timestamptz >= t0."released_at")
      AND ((t0."kind" = $3::text
          AND NOT coalesce(t0."origin" = ANY($4::text[]), FALSE))
        OR (t0."price" > $5::bigint
          AND t0."tags" @> to_jsonb($6::text))))
    ORDER BY t0."id"
    LIMIT $7::bigint) AS page) AS numbered
