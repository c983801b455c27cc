SELECT string_agg(j, chr(30)) FILTER (WHERE n < $3::bigint), count(*), max(k0) FILTER (WHERE n = $3::bigint - 1), (SELECT count(*)
  FROM "reviews" AS t1
  WHERE (t1."hidden" <> $4::boolean
    AND t1."stars" <= $5::bigint))
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"id":"', t0."id", '"}') AS j, (t0."id")::text AS k0
    FROM "reviews" AS t0
    WHERE (t0."hidden" <> $1::boolean
      AND t0."stars" <= $2::bigint)
    ORDER BY t0."id"
    LIMIT $3::bigint) AS page) AS numbered
