"""The views: filters by django-filter, relations fetched eagerly, a count only where it is asked for."""

from django.db.models import Prefetch, QuerySet
from django_filters.rest_framework import FilterSet, UUIDFilter
from rest_framework.pagination import BasePagination, CursorPagination, LimitOffsetPagination
from rest_framework.permissions import IsAuthenticated
from rest_framework.viewsets import ReadOnlyModelViewSet

from .models import Order, OrderItem, Product
from .serializers import OrderSerializer, ProductSerializer


class ProductFilter(FilterSet):
    category = UUIDFilter(field_name="category_id")  # unlike the default, this does not look the category up

    class Meta:
        model = Product
        fields = {"price": ["gte", "lt"]}  # noqa: RUF012


class ProductCursor(CursorPagination):
    page_size = 30
    ordering = ("price", "id")


class CountedProducts(LimitOffsetPagination):
    default_limit = 30


class OrderCursor(CursorPagination):
    page_size = 20
    ordering = ("-created_at", "-id")


class ProductViewSet(ReadOnlyModelViewSet):
    queryset = Product.objects.order_by("price", "id")
    serializer_class = ProductSerializer
    filterset_class = ProductFilter

    @property
    def paginator(self) -> BasePagination:
        if not hasattr(self, "_paginator"):
            counted = self.request.query_params.get("count") == "true"
            self._paginator = CountedProducts() if counted else ProductCursor()
        return self._paginator


class OrderViewSet(ReadOnlyModelViewSet):
    queryset = Order.objects.prefetch_related(
        Prefetch("items", OrderItem.objects.select_related("product__category").order_by("id"))
    )
    serializer_class = OrderSerializer
    permission_classes = (IsAuthenticated,)
    pagination_class = OrderCursor

    def get_queryset(self) -> QuerySet[Order]:
        return super().get_queryset().filter(customer=self.request.user)
